variable "cluster" {
  description = "The cluster: its name, and those settings of `routingmesh_cluster` that are not to have their defaults. Give it a `health_address` (`:10256`) if a load balancer stands in front of the nodes."
  type = object({
    name                 = string
    address_pool         = optional(string)
    node_prefix_length   = optional(number)
    vxlan_port           = optional(number)
    vni                  = optional(number)
    mtu                  = optional(number)
    published_port_range = optional(string)
    repair               = optional(string)
    firewall             = optional(string)
    tcp_idle_timeout     = optional(string)
    udp_idle_timeout     = optional(string)
    health_address       = optional(string)
    metrics_address      = optional(string)
    mark_bit             = optional(number)
    host_dns             = optional(string)
    force_remove         = optional(bool)
    timeouts             = optional(object({ create = optional(string), read = optional(string), update = optional(string), delete = optional(string) }))
  })
  nullable = false

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.cluster.name))
    error_message = "cluster.name must be a DNS label: 1–63 of a–z, 0–9 and -, not starting or ending with -."
  }
}

variable "nodes" {
  description = "The nodes by name: the address under which the others reach each, and the attributes of `routingmesh_node` that are not to have their defaults. The provider's `hosts` must be one, three or five of them."
  type = map(object({
    address = string
    ssh = optional(object({
      host         = optional(string)
      port         = optional(number)
      user         = optional(string)
      bastion_host = optional(string)
      bastion_port = optional(number)
      bastion_user = optional(string)
      host_key     = optional(string)
    }))
    labels       = optional(map(string))
    availability = optional(string)
    force_remove = optional(bool)
    timeouts     = optional(object({ create = optional(string), read = optional(string), update = optional(string), delete = optional(string) }))
  }))
  nullable = false

  validation {
    condition     = length(var.nodes) > 0
    error_message = "nodes must have at least one node."
  }
  validation {
    condition     = alltrue([for name in keys(var.nodes) : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))])
    error_message = "The keys of nodes must be DNS labels: 1–63 of a–z, 0–9 and -, not starting or ending with -."
  }
  validation {
    condition     = length(distinct([for node in var.nodes : node.address])) == length(var.nodes)
    error_message = "Two of nodes have the same address. A host is one node."
  }
}

variable "networks" {
  description = "The overlay networks by name; `hosts` are the nodes whose own processes are members, or `[\"*\"]`. Services say by `networks` which they are in."
  type = map(object({
    hosts    = optional(set(string))
    timeouts = optional(object({ create = optional(string), read = optional(string), update = optional(string), delete = optional(string) }))
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.networks) : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))])
    error_message = "The keys of networks must be DNS labels: 1–63 of a–z, 0–9 and -, not starting or ending with -."
  }
}

variable "services" {
  description = "The services by name, with their published ports by a key of your choice each. `nodes` has an endpoint on each of them, named after the node; `endpoints` is for those with a port or a weight of their own, and for containers. The rest is as in `routingmesh_service` and `routingmesh_published_port`; a port without `published_port` gets the next free one."
  type = map(object({
    nodes = optional(set(string), [])
    endpoints = optional(map(object({
      node   = string
      port   = optional(number)
      weight = optional(number)
      container = optional(object({
        name   = optional(string)
        labels = optional(map(string))
        slots  = optional(number)
      }))
    })), {})
    scheduler = optional(string)
    session_affinity = optional(object({
      timeout = string
      netmask = optional(number)
    }))
    health_check = optional(object({
      type            = optional(string)
      port            = optional(number)
      path            = optional(string)
      host            = optional(string)
      expected_status = optional(string)
      interval        = optional(string)
      timeout         = optional(string)
      rise            = optional(number)
      fall            = optional(number)
      on_unhealthy    = optional(string)
    }))
    drain_timeout = optional(string)
    networks      = optional(map(object({ aliases = optional(set(string)) })))
    endpoint_mode = optional(string)
    vip_ports     = optional(map(number))
    timeouts      = optional(object({ create = optional(string), read = optional(string), update = optional(string), delete = optional(string) }))
    ports = optional(map(object({
      target_port      = optional(number)
      published_port   = optional(number)
      last_port        = optional(number)
      protocol         = optional(string)
      mode             = optional(string)
      locality         = optional(string)
      one_packet       = optional(bool)
      allowed_cidrs    = optional(set(string))
      nodes            = optional(set(string))
      listen_addresses = optional(set(string))
      client_address   = optional(string)
      timeouts         = optional(object({ create = optional(string), read = optional(string), update = optional(string), delete = optional(string) }))
    })), {})
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.services) : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))])
    error_message = "The keys of services must be DNS labels: 1–63 of a–z, 0–9 and -, not starting or ending with -."
  }
  validation {
    condition     = alltrue([for service in var.services : length(setintersection(service.nodes, keys(service.endpoints))) == 0])
    error_message = "A key of endpoints is also in nodes of the same service. Give that endpoint another key, or take it out of one of them."
  }
  validation {
    condition = alltrue(flatten([
      for service in var.services : [
        for port in service.ports : [for number in [coalesce(port.target_port, 1), coalesce(port.published_port, 1), coalesce(port.last_port, 1)] : number >= 1 && number <= 65535 && floor(number) == number]
      ]
    ]))
    error_message = "target_port, published_port and last_port must be whole numbers, 1–65535."
  }
}
