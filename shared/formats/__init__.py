"""The formats that parts and other programs exchange: messages, transcripts, S3 keys, heartbeats."""
