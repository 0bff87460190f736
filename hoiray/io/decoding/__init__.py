"""Video files to frames: what a file holds, which frame has which number, two decoders that give equal pixels."""
