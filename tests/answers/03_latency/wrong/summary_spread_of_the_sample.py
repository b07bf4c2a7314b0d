"""Where 95 % of the samples are, instead of where the mean is."""

BASE = "asynchronous.py"
CHANGES = {
    "np.array([data.mean() - right * error, data.mean() - left * error])": "np.percentile(data, [2.5, 97.5])",
}
FAILS = {"summary.interval": "too wide to say anything"}
