"""A worker of another time: it speaks a protocol of its own number."""

import time

import speech

speech.greet(protocol=99)
time.sleep(60)
