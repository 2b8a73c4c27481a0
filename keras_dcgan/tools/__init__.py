"""Tools that know nothing of GANs: files, drawing, the terminal."""
