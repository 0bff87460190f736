"""What looks at images and says where hands and objects are; one protocol for all of them."""
