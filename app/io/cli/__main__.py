"""`python -m app.io.cli`."""

from app.io.cli import main

if __name__ == "__main__":  # a child process imports this module too
    main()
