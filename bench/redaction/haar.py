#!/usr/bin/python3
"""Finds faces and plates with OpenCV's Haar cascades in every frame of a clip, for comparison.

haar.py CLIP prints one line of JSON a frame: [[kind, x, y, w, h], ...] in pixels.
Needs Debian's python3-opencv and opencv-data.
"""
import json
import sys

import cv2

FOLDER = "/usr/share/opencv4/haarcascades/haarcascade_"
CASCADES = [(kind, cv2.CascadeClassifier(FOLDER + name + ".xml")) for kind, name in (
    ("face", "frontalface_default"), ("face", "profileface"), ("plate", "russian_plate_number"))]

clip = cv2.VideoCapture(sys.argv[1])
while True:
    ok, frame = clip.read()
    if not ok:
        break
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    found = [[kind, *map(int, box)] for kind, cascade in CASCADES for box in cascade.detectMultiScale(grey, 1.1, 3)]
    print(json.dumps(found), flush=True)
