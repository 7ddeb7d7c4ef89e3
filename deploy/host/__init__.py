"""The host of a worker: how it is installed, which services run on it, and the image made of it.

Shell and systemd do the work, as no Python of ours is there before the install script has run. Python here only packs
what a host needs.
"""
