"""The published Prometheus client reads a router's /metrics with its OpenMetrics parser, which takes nothing that the
standard forbids.

    python metrics.py http://127.0.0.1:7330/metrics

Prints one JSON line, {"type":CONTENT_TYPE,"samples":{NAME:SUM_OVER_ITS_LABELS}}.
"""

import json
import sys
import urllib.request
from collections import Counter

from prometheus_client.openmetrics.parser import text_string_to_metric_families

PATIENCE_S = 5.0


def main(url):
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        content_type, text = answer.headers["Content-Type"], answer.read().decode()
    samples = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples[sample.name] += sample.value
    print(json.dumps({"type": content_type, "samples": samples}))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python metrics.py http://HOST:PORT/metrics")
    main(sys.argv[1])
