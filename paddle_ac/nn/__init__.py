"""Networks, distributions and optimisers: what is learned, with no idea of environments."""
