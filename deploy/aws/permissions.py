"""The IAM action of every call that deploying and removing make themselves, for messages and for the policy's test.

What CloudFormation calls in the person's name (it makes the resources with their permissions) stands in the policy
alone, deployer-policy.json.
"""

# Operation -> action, as the Service Authorization Reference has them; the names are unique over these services.
ACTIONS = {
    "CreateBucket": "s3:CreateBucket",
    "CreateChangeSet": "cloudformation:CreateChangeSet",
    "DeleteBucket": "s3:DeleteBucket",
    "DeleteChangeSet": "cloudformation:DeleteChangeSet",
    "DeleteObjects": "s3:DeleteObject",
    "DeleteStack": "cloudformation:DeleteStack",
    "DescribeChangeSet": "cloudformation:DescribeChangeSet",
    "DescribeImages": "ec2:DescribeImages",
    "DescribeInstanceTypeOfferings": "ec2:DescribeInstanceTypeOfferings",
    "DescribeInstanceTypes": "ec2:DescribeInstanceTypes",
    "DescribeInstances": "ec2:DescribeInstances",
    "DescribeStackEvents": "cloudformation:DescribeStackEvents",
    "DescribeStacks": "cloudformation:DescribeStacks",
    "DescribeSubnets": "ec2:DescribeSubnets",
    "DescribeVpcs": "ec2:DescribeVpcs",
    "ExecuteChangeSet": "cloudformation:ExecuteChangeSet",
    "GetAccountSettings": "lambda:GetAccountSettings",
    "GetCallerIdentity": "sts:GetCallerIdentity",
    "GetParameter": "ssm:GetParameter",
    "GetServiceQuota": "servicequotas:GetServiceQuota",
    "GetTemplateSummary": "cloudformation:GetTemplateSummary",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListObjectsV2": "s3:ListBucket",
    "ListStackResources": "cloudformation:ListStackResources",
    "PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "PutObject": "s3:PutObject",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
}
