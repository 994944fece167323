# make app and make test do all the set-up on a fresh machine; the rest is for making the weights anew.

PYTHON ?= python3
PY := .venv/bin/python
DATA ?= data/celeba
SR_DATA ?= data
MINUTES ?= 90
# glibc's malloc is slow for training and drawing on the CPU; tcmalloc is used where it is installed (Debian: libtcmalloc-minimal4).
TCMALLOC := $(firstword $(wildcard /usr/lib/*/libtcmalloc_minimal.so.4))
FAST_PY := $(if $(TCMALLOC),LD_PRELOAD=$(TCMALLOC)) $(PY)

.PHONY: help app test lint format prepare embed train-clip train-words train-unet train-student train-student-faces train-guided train-reward train-targets train-srresnet-general train-srresnet train-srgan evaluate
.PHONY: bench bench-peers bench-quality bench-sr grid pictures clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*##/\t/' | expand -t 18

app: .venv/app  ## start the page on the bundled weights and print its address
	$(PY) app.py

# What needs no browser runs in two processes, a file in one of them; the browser wants both cores. ARGS: what pytest is to run instead.
test: lint  ## run the lint and every test, or those that ARGS names
	bash tests/install.sh chromium
	bash tests/install.sh nginx
ifdef ARGS
	$(PY) -m pytest $(ARGS)
else
	$(PY) -m pytest --numprocesses 2 --dist loadfile --ignore tests/browser
	$(PY) -m pytest tests/browser
endif

lint: .venv/dev  ## check style (ruff, oxc) and types (pyright)
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	.venv/bin/oxlint --deny-warnings assets
	.venv/bin/oxfmt --check "assets/**/*.js"
	$(PY) -m pyright

format: .venv/dev  ## put the style right where ruff and oxc can
	$(PY) -m ruff check --fix
	$(PY) -m ruff format
	.venv/bin/oxfmt "assets/**/*.js"

prepare: .venv/dev  ## CelebA archive in DATA -> runs/prepared
	$(PY) -m training.data.prepare images --data $(DATA)

embed: .venv/dev  ## CLIP embeddings of the prepared faces and prompts
	$(PY) -m training.data.prepare embed

# Each trains in runs/, going on where it stopped (but train-words), and then puts its weights where the app takes them.
train-clip: .venv/dev  ## train the small CLIP, MINUTES in all
	$(FAST_PY) -m training.clip.train --max-minutes $(MINUTES)
	cp runs/clip/clip.safetensors weights/

train-words: .venv/dev  ## teach the finished CLIP the words of wording.toml, MINUTES (after embed; then embed again and transfer the U-Net)
	$(FAST_PY) -m training.clip.words --max-minutes $(MINUTES)
	cp runs/words/clip.safetensors weights/

train-unet: .venv/dev  ## train the U-Net, MINUTES in all (after embed)
	$(FAST_PY) -m training.unet.train --max-minutes $(MINUTES)
	cp runs/unet/unet.safetensors weights/

train-student: .venv/dev  ## teach a network to draw in 4 calls what the networks in weights/ draw in many, MINUTES in all (after embed)
	$(FAST_PY) -m training.unet.student --max-minutes $(MINUTES)
	cp runs/student/student.safetensors weights/

train-student-faces: .venv/dev  ## the student goes on: it learns from finished faces, MINUTES in all
	$(FAST_PY) -m training.unet.student --recipe faces --start-from runs/student/student.safetensors --state-dir runs/student_faces --max-minutes $(MINUTES)
	cp runs/student_faces/student.safetensors weights/

train-guided: .venv/dev  ## build the default guidance into the U-Net's modulation, MINUTES in all (after embed)
	$(FAST_PY) -m training.unet.guided --max-minutes $(MINUTES)
	cp runs/guided/guided.safetensors weights/

train-reward: .venv/dev  ## teach the network of train-guided to draw whole faces, MINUTES in all (after train-guided)
	$(FAST_PY) -m training.unet.reward --max-minutes $(MINUTES)
	cp runs/reward/guided.safetensors weights/

concepts: .venv/dev  ## learn vectors for what no label names (dark skin, red hair, ...), with CLIP and U-Net as they are
	$(FAST_PY) -m training.unet.concepts

train-targets: .venv/dev  ## the small networks of "How it works", one for each of the lecture's targets, MINUTES each
	for target in original previous noise; do $(FAST_PY) -m training.unet.train --recipe small --target $$target \
		--state-dir runs/targets/$$target --out weights/targets/$$target.safetensors --max-minutes $(MINUTES) || exit 1; done

train-srresnet-general: .venv/dev  ## train SRResNet x4 on SR_DATA, MINUTES in all: for bench-sr, and where train-srresnet starts
	$(FAST_PY) -m training.srresnet.train --recipe x4 --data $(SR_DATA) --state-dir runs/srresnet-x4 --max-minutes $(MINUTES)
	cp runs/srresnet-x4/srresnet.safetensors weights/srresnet_x4.safetensors

train-srresnet: runs/srresnet/round_trip.safetensors  ## train SRResNet for faces on SR_DATA, MINUTES in all
	$(FAST_PY) -m training.srresnet.train --data $(SR_DATA) --start-from weights/srresnet_x4.safetensors --max-minutes $(MINUTES)
	cp runs/srresnet/srresnet.safetensors weights/

runs/srresnet/round_trip.safetensors: | .venv/dev
	$(PY) -m training.srresnet.round_trip --data $(SR_DATA)

train-srgan: runs/srresnet/round_trip.safetensors  ## sharpen it by adversarial training, MINUTES in all
	$(FAST_PY) -m training.srresnet.gan --data $(SR_DATA) --max-minutes $(MINUTES)
	$(PY) -m training.srresnet.gan --blend 0.5 --out weights/srresnet_crisp.safetensors

critic: .venv/dev  ## fit the critic of whole faces to photographs (runs/prepared), faces that evaluate drew, and graded ones
	$(FAST_PY) -m training.critic.fit --out weights/critic.safetensors

# The main figures need no photographs. With DATA named, faces are prepared unless they are already, and the rest is measured.
PHOTOGRAPHS := $(if $(filter-out file,$(origin DATA)),runs/prepared/faces.safetensors)
evaluate: .venv/dev $(PHOTOGRAPHS)  ## measure the committed weights; with DATA=... what needs photographs too
	$(FAST_PY) -m training.evaluation.evaluate $(if $(PHOTOGRAPHS),--prepared runs/prepared) $(ARGS)

runs/prepared/faces.safetensors: | .venv/dev
	$(PY) -m training.data.prepare images --data $(DATA)

bench: .venv/dev  ## how long a visitor waits
	bash tests/install.sh chromium
	$(PY) -m benchmarks.latency

bench-peers: .venv/dev  ## Facet beside other small diffusion models, with random weights of their default sizes
	$(PY) -m pip install --quiet denoising-diffusion-pytorch
	$(PY) -m benchmarks.peers

bench-quality: .venv/dev  ## Fréchet distance against network calls for every sampler: table and plot; hours
	$(FAST_PY) -m benchmarks.quality $(ARGS)

X4 ?= weights/srresnet_x4.safetensors
bench-sr: .venv/dev  ## SRResNet x4 beside the literature on Set5 and Set14 of SR_DATA, and the time of 64 -> 512 px
	$(PY) -m benchmarks.sr --data $(SR_DATA) --weights $(X4)

grid: .venv/dev  ## make the README's grids of faces again
	$(PY) -m training.evaluation.evaluate --grid assets/pictures/faces.png

pictures: .venv/dev  ## photograph the page, draw the README's animation, the presets and the card of links again
	bash tests/install.sh chromium
	$(PY) -m deploy.pictures

load: .venv/dev  ## many visitors at once: right answers, no growth; some six minutes
	$(if $(REPLICAS),bash tests/install.sh nginx)
	$(PY) -m benchmarks.load $(if $(REPLICAS),--replicas $(REPLICAS)) $(ARGS)

soak: .venv/dev  ## an hour of visitors, attacks, kills and restarts
	$(PY) -m benchmarks.soak $(ARGS)

audit: .venv/audit  ## known vulnerabilities of what is installed (asks PyPI: needs the network)
	$(PY) -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' > .venv/installed.txt
	.venv/audit/bin/pip-audit --strict --disable-pip --no-deps --requirement .venv/installed.txt

lock: .venv/dev  ## what the image installs, at the versions installed here -> deploy/constraints.txt
	$(PY) -m deploy.lock

pin-image: .venv/app  ## the images that Dockerfile and compose.yaml start from, by digest (needs Docker and the network)
	$(PY) -m deploy.pin

# The line Hugging Face Spaces installs, for its Python; pip finds versions that agree and downloads little (needs the network).
spaces-check: .venv/app  ## do the versions agree that Spaces will install?
	$(PY) -m pip install --dry-run --quiet --ignore-installed --target .venv/spaces --python-version 3.12 --only-binary=:all: \
		--requirement requirements.txt "gradio[oauth,mcp]==$$(sed -n 's/^sdk_version: //p' README.md)" uvicorn websockets spaces
	@echo "They agree."

# With DRY_RUN=1 nothing is sent. The account is that of `hf auth login` or HF_TOKEN.
publish-weights: .venv/app  ## weights/ -> the Hub, as REPO=owner/name
	$(PY) -m deploy.publish weights --repo $(REPO) $(if $(DRY_RUN),--dry-run)

publish-space: .venv/app  ## the page -> a Space, as REPO=owner/name
	$(PY) -m deploy.publish space --repo $(REPO) $(if $(DRY_RUN),--dry-run)

OLDEST := $(shell sed -n 's/^\(torch\|torchvision\)>=\([0-9.]*\),.*/"\1==\2"/p' requirements.txt)
test-oldest: .venv-oldest/done  ## every test on the oldest torch that requirements.txt allows, in .venv-oldest
	.venv-oldest/bin/python -m pytest $(ARGS)

.venv-oldest/done: requirements-dev.txt requirements.txt
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --requirement requirements-dev.txt $(OLDEST)
	@touch $@

.PHONY: critic concepts load soak audit lock pin-image spaces-check publish-weights publish-space test-oldest

clean:  ## forget the virtual environment and caches (not runs/)
	rm -rf .venv .venv-oldest .pytest_cache .hypothesis

# A .venv without pip is what a try without python3-venv, or one broken off, leaves behind: it is made anew.
ifneq ($(wildcard .venv/bin/python),)
ifneq ($(shell .venv/bin/python -c "import pip" 2> /dev/null && echo whole),whole)
.PHONY: .venv/bin/python
.venv/app .venv/dev: .venv/bin/python
endif
endif
.venv/bin/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
		{ echo "Facet needs Python 3.11 or newer: name one, for instance make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" 2> /dev/null || \
		{ echo "This Python cannot make virtual environments: install python3-venv (Debian, Ubuntu), or name another by PYTHON=..."; exit 1; }
	$(PYTHON) -m venv --clear .venv || { rm -rf .venv; exit 1; }

.venv/app: requirements.txt | .venv/bin/python
	$(PY) -m pip install --quiet --requirement requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt requirements.txt | .venv/bin/python
	$(PY) -m pip install --quiet --requirement requirements-dev.txt
	@touch .venv/app $@

.venv/audit: | .venv/dev
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet "pip-audit>=2.9,<3"
