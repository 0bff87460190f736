"""The hand: joint orders, the MANO layer, the free hand model, its anatomy."""
