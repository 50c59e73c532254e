output "services" {
  description = "The services by their names in the file: `id`, `name`, `vip`, and `tasks`."
  value       = { for name, s in routingmesh_service.this : name => { id = s.id, name = s.name, vip = s.vip, tasks = s.tasks } }
}

output "published_ports" {
  description = "The published ports by `SERVICE/PORT/PROTOCOL`: the port that is open on the nodes."
  value       = { for key, p in routingmesh_published_port.this : key => p.published_port }
}

output "unsupported" {
  description = "What the file asks for and the mesh does not have."
  value       = local.stack.unsupported
}
