"""The decisions: which instances to start, stop, suspect and reboot. Pure: values in, values out."""
