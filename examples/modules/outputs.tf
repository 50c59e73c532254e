output "published_ports" {
  description = "What is open on every node."
  value       = module.mesh.published_ports
}

output "haproxy_cfg" {
  description = "terraform output -raw haproxy_cfg > haproxy.cfg"
  value       = module.haproxy.config
}
