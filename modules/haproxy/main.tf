locals {
  frontends = {
    for name, frontend in var.frontends : name => {
      name    = name
      backend = "${frontend.service}_${frontend.port}" # as haproxy_backend names it
      mode    = frontend.mode
      bind    = coalesce(frontend.bind, [":${frontend.port}"])
      options = frontend.tls == null ? "" : join(" ", concat(
        [" ssl crt", frontend.tls.certificate, "ssl-min-ver", frontend.tls.min_version],
        frontend.mode == "http" || frontend.tls.alpn != null ? ["alpn", join(",", coalesce(frontend.tls.alpn, ["h2", "http/1.1"]))] : [],
      ))
      redirect_from = try(frontend.tls.redirect_from, [])
    }
  }

  # Frontends may share a backend, which is written once.
  backends = {
    for backend in distinct([for f in var.frontends : { service = f.service, port = f.port, mode = f.mode }]) :
    "${backend.service}_${backend.port}" => {
      mode = backend.mode
      text = provider::routingmesh::haproxy_backend(backend.service, backend.port, var.nodes, var.health_address == null ? "" : var.health_address)
    }
  }

  # A section has the mode of the defaults above it.
  modes = {
    for mode in distinct([for f in var.frontends : f.mode]) : mode => {
      frontends = [for f in local.frontends : f if f.mode == mode]
      backends  = [for b in local.backends : b.text if b.mode == mode]
    }
  }

  config = templatefile("${path.module}/haproxy.cfg.tftpl", {
    max_connections = var.max_connections
    timeouts        = var.timeouts
    modes           = local.modes
    extra_config    = var.extra_config
  })
}
