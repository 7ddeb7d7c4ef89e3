"""`scribefleet status`: one look at everything, on one screen."""
