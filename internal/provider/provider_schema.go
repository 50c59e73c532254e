package provider

import (
	"context"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func (p *meshProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Turns Linux hosts into a routing mesh: a published port is open on every node and is balanced in the kernel (IPVS) " +
			"over the endpoints of its service, on whichever node they run. The provider talks over SSH to a small node agent, which it installs itself.\n\n" +
			"Every setting can also come from the environment; the configuration wins.",
		Attributes: map[string]schema.Attribute{
			"hosts": schema.ListAttribute{
				ElementType: types.StringType,
				Optional:    true,
				MarkdownDescription: "SSH addresses of one, three or five hosts of the cluster, as `host`, `host:port` or `user@host:port`. They are the cluster's voters: " +
					"reading and changing need the majority of them. The other nodes are found in the record that they hold. May be unknown while planning, as when the same apply makes the hosts. " +
					"Environment: `ROUTINGMESH_HOSTS`, separated by commas.",
				Validators: []validator.List{hostsValidator{}},
			},
			"on_unreachable": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "What becomes of a change while a node or host cannot be reached: `warn` makes it on the others, with a warning, and the node is brought level by the next apply once it is back; " +
					"`fail` refuses it before anything changes. Reading and `force_remove` go on in either case. Default: `warn`. Environment: `ROUTINGMESH_ON_UNREACHABLE`.",
				Validators: []validator.String{stringvalidator.OneOf("warn", "fail")},
			},
			"force_hosts": schema.BoolAttribute{
				Optional: true,
				MarkdownDescription: "Let `hosts` decide what the cluster's record is, whatever voters it names, and make them its voters with the next change. For a cluster that has lost the majority of its voters " +
					"for good: name hosts that still have the record, apply, and remove the setting. What only the lost voters had is lost. Default: `false`.",
			},
			"ssh": schema.SingleNestedAttribute{
				Optional: true,
				MarkdownDescription: "How to log in to hosts and nodes. Names are those of Terraform's `connection` block. " +
					"What a node needs differently and is no secret stands in its own `ssh`.",
				Attributes: sshSchema(),
			},
		},
	}
}

func sshSchema() map[string]schema.Attribute {
	attributes := map[string]schema.Attribute{}
	for _, group := range []map[string]schema.Attribute{loginSchema(), bastionSchema(), hostKeySchema()} {
		maps.Copy(attributes, group)
	}
	return attributes
}

func loginSchema() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"user": text("User to log in as. Default: `root`. Environment: `ROUTINGMESH_SSH_USER`.", sshUserRule),
		"port": port("Port of sshd, 1–65535. Default: 22. Environment: `ROUTINGMESH_SSH_PORT`."),
		"private_key": secret("Private key, as PEM **content** (`file(\"~/.ssh/id_ed25519\")`), not a path. Several keys may stand one after the other: " +
			"all are tried. Environment: `ROUTINGMESH_SSH_PRIVATE_KEY`, or `ROUTINGMESH_SSH_PRIVATE_KEY_FILE` for a path."),
		"passphrase":  secret("Passphrase of `private_key`, in OpenSSH's format, PEM or PKCS#8. Environment: `ROUTINGMESH_SSH_PASSPHRASE`."),
		"certificate": text("OpenSSH user certificate (content) for `private_key`. Environment: `ROUTINGMESH_SSH_CERTIFICATE`."),
		"password":    secret("Password, also the answer to keyboard-interactive questions; sent only to a host whose key is known. Environment: `ROUTINGMESH_SSH_PASSWORD`."),
		"agent":       flag("Use the SSH agent. Default: where `SSH_AUTH_SOCK` is set. Environment: `ROUTINGMESH_SSH_AGENT`."),
		"use_ssh_config": flag("Read `HostName`, `User`, `Port`, `IdentityFile`, `ProxyJump` and `UserKnownHostsFile` from `~/.ssh/config`, and of `Match` only `all` and `host`; what else may change the way to a host is passed over with a warning. A `ProxyCommand` of a host is refused, unless it is `ssh -W %h:%p HOST` or `none`. Default: `false`. " +
			"Environment: `ROUTINGMESH_SSH_USE_SSH_CONFIG`."),
		"sudo": flag("Run commands on the hosts with `sudo -n`, or with `doas -n` where there is no sudo or it refuses. Default: when the user is not root. Environment: `ROUTINGMESH_SSH_SUDO`."),
		"timeout": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "How long one connection may take to be made, login and retries included, as in `30s` or `2m`. Default: `30s`. " +
				"Environment: `ROUTINGMESH_SSH_TIMEOUT`.",
			Validators: []validator.String{durationValidator{}},
		},
	}
}

func bastionSchema() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"bastion_host":     text("Host to go through. Environment: `ROUTINGMESH_SSH_BASTION_HOST`.", bastionRule),
		"bastion_port":     port("Port of sshd on the bastion, 1–65535. Default: 22. Environment: `ROUTINGMESH_SSH_BASTION_PORT`."),
		"bastion_user":     text("User on the bastion. Default: `user`. Environment: `ROUTINGMESH_SSH_BASTION_USER`.", sshUserRule),
		"bastion_password": secret("Password on the bastion, sent only if its key is known. Default: `password`. Environment: `ROUTINGMESH_SSH_BASTION_PASSWORD`."),
		"bastion_private_key": secret("Private key (PEM content) for the bastion. Default: `private_key`. " +
			"Environment: `ROUTINGMESH_SSH_BASTION_PRIVATE_KEY`."),
		"bastion_certificate": text("OpenSSH user certificate for `bastion_private_key`. Environment: `ROUTINGMESH_SSH_BASTION_CERTIFICATE`."),
		"bastion_host_key":    text("Public key that the bastion must show, as in authorized_keys. Environment: `ROUTINGMESH_SSH_BASTION_HOST_KEY`."),
		"proxy_jump": text("Hosts to go through one after the other, as in `ssh -J`: `user@first:22,second`. " +
			"Environment: `ROUTINGMESH_SSH_PROXY_JUMP`."),
	}
}

func hostKeySchema() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"host_key": text("Public key that every host must show which has no key of its own, as in authorized_keys (`ssh-ed25519 AAAA…`). " +
			"Environment: `ROUTINGMESH_SSH_HOST_KEY`."),
		"known_hosts": schema.ListAttribute{
			ElementType: types.StringType,
			Optional:    true,
			MarkdownDescription: "Paths of known_hosts files. Default: `~/.ssh/known_hosts` where it exists. `/etc/ssh/ssh_known_hosts` counts in any case. " +
				"Environment: `ROUTINGMESH_SSH_KNOWN_HOSTS`, separated by commas.",
		},
		"host_key_policy": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "What to do about a host whose key is not known: `strict` refuses it, `accept-new` accepts it once and pins it (in the state and in the record), " +
				"`insecure` accepts any key at any time. A key that is known and differs is refused by the first two. Default: `accept-new`. " +
				"Environment: `ROUTINGMESH_SSH_HOST_KEY_POLICY`.",
			Validators: []validator.String{stringvalidator.OneOf("strict", "accept-new", "insecure")},
		},
	}
}

// Empty strings are refused: a variable that was meant to be set would
// otherwise fall back to the environment in silence.
func text(description string, more ...validator.String) schema.StringAttribute {
	return schema.StringAttribute{
		Optional: true, MarkdownDescription: description,
		Validators: append(more, stringvalidator.LengthAtLeast(1)),
	}
}

func secret(description string) schema.StringAttribute {
	a := text(description)
	a.Sensitive = true
	return a
}

func flag(description string) schema.BoolAttribute {
	return schema.BoolAttribute{Optional: true, MarkdownDescription: description}
}

func port(description string) schema.Int64Attribute {
	return schema.Int64Attribute{
		CustomType: integerType{},
		Optional:   true, MarkdownDescription: description,
		Validators: numbers(mesh.Ports),
	}
}
