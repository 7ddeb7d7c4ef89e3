"""Sessions as a person names them, and what lies in their folders."""
