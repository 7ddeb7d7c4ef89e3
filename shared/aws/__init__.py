"""AWS through boto3: clients, time-outs, retries, and conditional writes."""
