# pip install pandas; python bars.py
import pandas as pd

bars = pd.read_csv("http://127.0.0.1:8420/api/v1/bars/NIFTY?interval=5m&source=future&format=csv", parse_dates=["start"], index_col="start").tz_convert("Asia/Kolkata")
print(bars[["open", "high", "low", "close", "volume", "oi"]].tail(10))
