"""Sends numbered messages to 10.77.0.2 by 8 connections until it is gone; prints those kept."""

import smtplib
import threading
from itertools import count

numbers = count()


def deliver() -> None:
    try:
        with smtplib.SMTP("10.77.0.2", timeout=10) as smtp:
            while True:
                number = next(numbers)
                text = f"Subject: {number}\r\n\r\n" + f"{number}\r\n" * 500 + "end\r\n"
                smtp.sendmail("a@b", "c@pystack", text)
                print(f"{number}\n", end="", flush=True)  # in one piece
    except OSError:  # of smtplib too
        pass


threads = [threading.Thread(target=deliver) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
