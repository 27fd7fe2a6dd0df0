# The two commands are `make up` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help

CACHE := $(or $(AUTOGPT_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/autogpt-kubernetes)
# One target directory outside the clone serves builds, tests and images, and survives a fresh clone.
export CARGO_TARGET_DIR ?= $(CACHE)/target
export AUTOGPT_CACHE := $(CACHE)

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

.PHONY: up
up: ## Bring up a Kubernetes with the platform on it and run the examples
	@hack/up.sh

.PHONY: down
down: ## Remove everything that `make up` or `make app` started
	@hack/down.sh

.PHONY: app
app: ## Run all six services in one process on this machine, without Kubernetes
	@hack/app.sh

.PHONY: token
token: ## Print a user's token: make token EMAIL=you@example.com
	@hack/token.sh "$(EMAIL)"

.PHONY: lint
lint: ## Format, clippy, cargo-deny, shellcheck, helm lint, generated files
	@hack/lint.sh

.PHONY: test
test: lint ## Lint, then every test: unit, contract, controllers, end to end
	@hack/test.sh

.PHONY: faults
faults: ## Kill, stop, double and flood everything under load; up to 75 minutes (CASE=name, SCALE=0.1)
	@hack/faults.sh

.PHONY: fuzz
fuzz: ## Send bad input: CASE=name, SCALE=1, SECONDS_PER_CASE=60
	@hack/fuzz.sh

.PHONY: bench
bench: ## Measure speed on this machine: CASE=name, SECONDS_PER_CASE=60, SCALE=1
	@hack/bench.sh

.PHONY: images
images: ## Build release images of the operator and the services
	@PROFILE=release hack/images.sh platform
