# The lab: three real nodes and a client on this machine (internal/test/lab).
#   make lab-up [LAB_NODES=5] [LAB_PACKAGES="memcached varnish"] [LAB_DIR=.lab] [LAB_SSH_PORT=2200]
#   make lab-up LAB_IMAGE="n1=firewalld n2=ufw n3=csh+german"   hosts as they come: csh, doas, firewalld, german, nftables, ufw
#   make lab-up LAB_ICOUNT=1                     its clock counts instructions: what is measured there is the same each time
# LAB_ACCEL=tcg emulates also where KVM works, LAB_ACCEL=kvm insists on it.
export LAB_DIR LAB_NODES LAB_PACKAGES LAB_SSH_PORT LAB_DRIVER LAB_ACCEL LAB_ICOUNT LAB_IMAGE

bin/lab: $(wildcard internal/test/lab/*.go internal/test/lab/scripts/*)
	go build -o $@ ./internal/test/lab

.PHONY: lab-up lab-down lab-status
lab-up: bin/lab ## start the lab: three real nodes and a client (LAB_NODES=5, LAB_IMAGE="n1=firewalld n2=ufw n3=nftables": also csh, doas, german)
	@bin/lab up
lab-down: bin/lab ## end the lab, and leave nothing running
	@bin/lab down
lab-status: bin/lab ## what runs in the lab
	@bin/lab status
