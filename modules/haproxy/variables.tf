variable "nodes" {
  description = "Addresses of the nodes, as HAProxy reaches them, by name: output `node_addresses` of the module `mesh`."
  type        = map(string)
  nullable    = false
}

variable "health_address" {
  description = "`health_address` of the cluster: output of the module `mesh`. Null for a cluster without one: then a node counts as up while it accepts connections."
  type        = string
  default     = null
}

variable "frontends" {
  description = "What HAProxy listens for, by a name of your choice each: the service and its published port on the nodes, and where to bind (default: the same port, on all addresses). `mode` is `tcp` or `http`. `tls` ends TLS here: `certificate` is the path of a PEM file, with its key, on HAProxy's host; `min_version` is `TLSv1.2` or `TLSv1.3`; `alpn` is by default that of HTTP/2 and HTTP/1.1 where `mode` is `http`; `redirect_from` (`http` only) binds plain HTTP that is redirected."
  type = map(object({
    service = string
    port    = number
    bind    = optional(list(string))
    mode    = optional(string, "tcp")
    tls = optional(object({
      certificate   = string
      min_version   = optional(string, "TLSv1.2")
      alpn          = optional(list(string))
      redirect_from = optional(list(string), [])
    }))
  }))
  nullable = false

  validation {
    condition     = length(var.frontends) > 0
    error_message = "frontends must have at least one frontend."
  }
  validation {
    condition     = alltrue([for name in keys(var.frontends) : can(regex("^[A-Za-z0-9._:-]{1,63}$", name))])
    error_message = "The keys of frontends must be names for HAProxy: 1–63 letters, digits, '.', '_', ':' and '-'."
  }
  validation {
    condition = alltrue(flatten([
      for frontend in var.frontends : [
        for bind in concat(coalesce(frontend.bind, []), try(frontend.tls.redirect_from, [])) : can(regex("^(\\*|[0-9.]+|\\[[0-9A-Fa-f:.]+\\])?:[0-9]{1,5}$", bind))
      ]
    ]))
    error_message = "bind and redirect_from must be lists of :PORT or ADDRESS:PORT, as in [\":443\", \"192.0.2.1:443\", \"[2001:db8::1]:443\"]."
  }
  validation {
    condition     = alltrue([for frontend in var.frontends : contains(["tcp", "http"], frontend.mode)])
    error_message = "mode must be tcp or http."
  }
  validation {
    condition     = alltrue([for frontend in var.frontends : frontend.mode == "http" || length(try(frontend.tls.redirect_from, [])) == 0])
    error_message = "redirect_from is for mode = \"http\" only: a tcp frontend does not know what it carries."
  }
  validation {
    condition     = alltrue([for frontend in var.frontends : can(regex("^/[A-Za-z0-9._/@+-]+$", frontend.tls.certificate)) if frontend.tls != null])
    error_message = "tls.certificate must be an absolute path on HAProxy's host, of letters, digits and ._/@+-, as in /etc/haproxy/certs/web.pem."
  }
  validation {
    condition     = alltrue([for frontend in var.frontends : contains(["TLSv1.2", "TLSv1.3"], frontend.tls.min_version) if frontend.tls != null])
    error_message = "tls.min_version must be TLSv1.2 or TLSv1.3."
  }
  validation {
    condition     = alltrue(flatten([for frontend in var.frontends : [for protocol in try(coalescelist(frontend.tls.alpn, []), []) : can(regex("^[A-Za-z0-9./-]+$", protocol))]]))
    error_message = "tls.alpn must be a list of protocols, as in [\"h2\", \"http/1.1\"]."
  }
  validation {
    condition     = length(distinct([for f in var.frontends : "${f.service} ${f.port}"])) == length(distinct([for f in var.frontends : "${f.service} ${f.port} ${f.mode}"]))
    error_message = "Two frontends lead to the same service and port in different modes. Give both the same mode."
  }
}

variable "max_connections" {
  description = "How many connections HAProxy serves at the same time."
  type        = number
  default     = 20000
  nullable    = false

  validation {
    condition     = var.max_connections >= 1 && floor(var.max_connections) == var.max_connections
    error_message = "max_connections must be a whole number of at least 1."
  }
}

variable "timeouts" {
  description = "HAProxy's timeouts. `client` and `server` end idle connections, so they should be no longer than the cluster's `tcp_idle_timeout`."
  type = object({
    connect = optional(string, "3s")
    client  = optional(string, "1h")
    server  = optional(string, "1h")
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for timeout in values(var.timeouts) : can(regex("^[1-9][0-9]*(ms|s|m|h|d)$", timeout))])
    error_message = "timeouts must be numbers with one of HAProxy's units, ms, s, m, h or d, as in 30s."
  }
}

variable "extra_config" {
  description = "Sections of your own (`listen`, `userlist`, further frontends), taken over as they are."
  type        = string
  default     = ""
  nullable    = false
}
