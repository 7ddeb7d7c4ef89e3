"""`scribefleet reports`: the batch reports in the bucket, read with patience for older ones."""
