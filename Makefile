# make app and make test do all the set-up on a fresh machine; the rest is for making the weights anew.

PYTHON ?= python3
PY := .venv/bin/python
DATA ?= data/celeba
SR_DATA ?= data
MINUTES ?= 90
# glibc's malloc is slow for training on the CPU; tcmalloc is used where it is installed (Debian: libtcmalloc-minimal4).
TCMALLOC := $(firstword $(wildcard /usr/lib/*/libtcmalloc_minimal.so.4))
TRAIN := $(if $(TCMALLOC),LD_PRELOAD=$(TCMALLOC)) $(PY)

.PHONY: help app test prepare embed train-clip train-unet train-srresnet evaluate bench grid clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*##/\t/' | expand -t 18

app: .venv/app  ## open the page on the bundled weights and print its address
	$(PY) app.py

test: .venv/dev  ## run every test
	bash tests/install_chromium.sh
	$(PY) -m pytest $(ARGS)

prepare: .venv/dev  ## CelebA archive in DATA -> runs/prepared
	$(PY) -m training.prepare images --data $(DATA)

embed: .venv/dev  ## CLIP embeddings of the prepared faces and prompts
	$(PY) -m training.prepare embed

# Each trains in runs/, going on where it stopped, and then puts its weights where the app takes them.
train-clip: .venv/dev  ## train the small CLIP, MINUTES in all
	$(TRAIN) -m training.train_clip --max-minutes $(MINUTES)
	cp runs/clip/clip.safetensors weights/

train-unet: .venv/dev  ## train the U-Net, MINUTES in all (after embed)
	$(TRAIN) -m training.train_unet --max-minutes $(MINUTES)
	cp runs/unet/unet.safetensors weights/

train-srresnet: .venv/dev  ## train SRResNet on the folders in SR_DATA, MINUTES in all
	$(TRAIN) -m training.train_srresnet --data $(SR_DATA) --max-minutes $(MINUTES)
	cp runs/srresnet/srresnet.safetensors weights/

evaluate: .venv/dev  ## measure the committed weights
	$(PY) -m training.evaluate

bench: .venv/dev  ## how long a visitor waits
	$(PY) -m benchmarks.latency

grid: .venv/dev  ## make the README's grid of faces again
	$(PY) -m training.evaluate --grid assets/faces.png

clean:  ## forget the virtual environment and caches (not runs/)
	rm -rf .venv .pytest_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
		{ echo "Facet needs Python 3.11 or newer: name one, for instance make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/app: requirements.txt | .venv/bin/python
	$(PY) -m pip install --quiet --requirement requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt requirements.txt | .venv/bin/python
	$(PY) -m pip install --quiet --requirement requirements-dev.txt
	@touch .venv/app $@
