"""`python -m deploy` is the console script, for where the script itself is not on the path."""

from deploy.cli import main

if __name__ == "__main__":
    main()
