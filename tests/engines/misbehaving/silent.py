"""A program that never says hello."""

import time

time.sleep(60)
