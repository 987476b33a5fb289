"""What RapidOCR's text detector says of images: a JSON line each, in an environment of its own.

python -m benchmarks.peers.rapidocr_boxes < paths > boxes.jsonl
"""

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from rapidocr import RapidOCR

_ONE_THREAD = {
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    "Global.log_level": "error",
}


def main() -> None:
    """Share of the area in boxes, their number, and milliseconds of CPU from the file's bytes to them."""
    cv2.setNumThreads(1)
    detector = RapidOCR(params=_ONE_THREAD)
    detector(np.full((320, 320, 3), 255, np.uint8), use_det=True, use_cls=False, use_rec=False)
    for line in sys.stdin:
        began = time.process_time()
        image = cv2.imdecode(np.frombuffer(Path(line.strip()).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        boxes = detector(image, use_det=True, use_cls=False, use_rec=False).boxes
        found = [] if boxes is None else [cv2.contourArea(box.astype(np.float32)) for box in boxes]
        told = {
            "boxes": len(found),
            "area": min(1.0, sum(found) / (image.shape[0] * image.shape[1])),
            "milliseconds": 1000 * (time.process_time() - began),
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
