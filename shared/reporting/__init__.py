"""What people read about runs: batch reports, their chart, and notifications."""
