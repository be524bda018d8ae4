"""Exports: one module for each thing that is written. Each appears whole or not at all."""
