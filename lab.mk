# The lab: three real nodes and a client on this machine (internal/lab).
#   make lab-up [LAB_NODES=5] [LAB_PACKAGES="memcached varnish"] [LAB_DIR=.lab] [LAB_SSH_PORT=2200]
export LAB_DIR LAB_NODES LAB_PACKAGES LAB_SSH_PORT LAB_DRIVER LAB_ACCEL

bin/lab: $(wildcard internal/lab/*.go internal/lab/scripts/*)
	CGO_ENABLED=0 go build -o $@ ./internal/lab

.PHONY: lab-up lab-down lab-status
lab-up: bin/lab ## start the lab: three real nodes and a client
	@bin/lab up
lab-down: bin/lab ## end the lab, and leave nothing running
	@bin/lab down
lab-status: bin/lab ## what runs in the lab
	@bin/lab status
