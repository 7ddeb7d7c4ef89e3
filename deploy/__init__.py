"""Where the fleet runs: CloudFormation, Lambda packaging and the embedded cloud; knows all other parts."""
