"""What producer, consumer and autoscaler must agree on; imports none of them."""
