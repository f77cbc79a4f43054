"""Losses as pure functions of arrays: what a network returned and targets in, loss terms and gradients out."""
