"""The slowest are left out of the mean as outliers."""

BASE = "asynchronous.py"
CHANGES = {'"mean": data.mean(),': '"mean": data[data <= np.quantile(data, 0.95)].mean(),'}
FAILS = {"summary.mean": "within 1 %"}
