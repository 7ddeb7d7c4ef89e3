"""Decides when GPUs run: observe, plan, act."""
