package provider

import (
	"cmp"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

type portModel struct {
	ID            types.String   `tfsdk:"id"`
	ServiceID     types.String   `tfsdk:"service_id"`
	PublishedPort types.Int64    `tfsdk:"published_port"`
	LastPort      types.Int64    `tfsdk:"last_port"`
	TargetPort    types.Int64    `tfsdk:"target_port"`
	Protocol      types.String   `tfsdk:"protocol"`
	Mode          types.String   `tfsdk:"mode"`
	Locality      types.String   `tfsdk:"locality"`
	OnePacket     types.Bool     `tfsdk:"one_packet"`
	AllowedCIDRs  types.Set      `tfsdk:"allowed_cidrs"`
	Nodes         types.Set      `tfsdk:"nodes"`
	Listen        types.Set      `tfsdk:"listen_addresses"`
	ClientAddress types.String   `tfsdk:"client_address"`
	Drift         types.List     `tfsdk:"drift"`
	Timeouts      timeouts.Value `tfsdk:"timeouts"`
}

// toMesh converts a port; a published port that is not known is 0, which takes
// the next free one.
func (m *portModel) toMesh(service string) mesh.PublishedPort {
	p := mesh.PublishedPort{
		Service:   service,
		Published: uint16(m.PublishedPort.ValueInt64()),
		Last:      uint16(m.LastPort.ValueInt64()),
		Target:    uint16(m.TargetPort.ValueInt64()),
		Protocol:  mesh.Protocol(m.Protocol.ValueString()),
		Mode:      mesh.Mode(m.Mode.ValueString()),
		OnePacket: m.OnePacket.ValueBool(),
	}
	if locality := m.Locality.ValueString(); locality != localityAny {
		p.Locality = mesh.Locality(locality)
	}
	if address := m.ClientAddress.ValueString(); address != clientEntryNode {
		p.ClientAddress = mesh.ClientAddress(address)
	}
	p.AllowedCIDRs, _ = mesh.ParsePrefixList(texts(m.AllowedCIDRs)) // its validator has said what is wrong
	p.Nodes, _ = mesh.ParseNodeList(texts(m.Nodes))
	p.Listen, _ = mesh.ParseListenAddresses(texts(m.Listen))
	return p
}

// localityAny is Terraform's word for mesh.AnyEndpoint, which the record leaves
// out.
const localityAny = "any"

// clientEntryNode is Terraform's word for mesh.EntryNode, likewise.
const clientEntryNode = "entry_node"

func clientAddressText(c mesh.ClientAddress) string { return cmp.Or(string(c), clientEntryNode) }

func localityText(l mesh.Locality) string { return cmp.Or(string(l), localityAny) }

// texts are the elements of a set of strings that are known.
func texts(set types.Set) (all []string) {
	for _, e := range set.Elements() {
		if s, ok := e.(types.String); ok && !s.IsUnknown() {
			all = append(all, s.ValueString())
		}
	}
	return all
}

// textSet is null where there are none.
func textSet(texts []string) types.Set {
	if len(texts) == 0 {
		return types.SetNull(types.StringType)
	}
	var elements []attr.Value
	for _, text := range texts {
		elements = append(elements, types.StringValue(text))
	}
	return types.SetValueMust(types.StringType, elements)
}

func (m *portModel) fromMesh(cluster string, p *mesh.PublishedPort) {
	m.ServiceID = types.StringValue(mesh.ServiceID(cluster, p.Service))
	m.ID = types.StringValue(mesh.PortID(m.ServiceID.ValueString(), p.Key()))
	m.PublishedPort = types.Int64Value(int64(p.Published))
	m.LastPort = types.Int64Null()
	if p.IsRange() {
		m.LastPort = types.Int64Value(int64(p.Last))
	}
	m.TargetPort = types.Int64Value(int64(p.Target))
	m.Protocol, m.Mode = types.StringValue(string(p.Protocol)), types.StringValue(string(p.Mode))
	m.Locality, m.OnePacket = types.StringValue(localityText(p.Locality)), types.BoolValue(p.OnePacket)
	m.AllowedCIDRs = textSet(p.AllowedCIDRs.Strings())
	m.Nodes = textSet(p.Nodes.Names())
	if same, err := mesh.ParseListenAddresses(texts(m.Listen)); err != nil || same != p.Listen || same == "" {
		m.Listen = textSet(p.Listen.AddressTexts()) // else as somebody has written it: 192.0.2.7 or 192.0.2.7/32
	}
	m.ClientAddress = types.StringValue(clientAddressText(p.ClientAddress))
}
