output "config" {
  description = "A complete `haproxy.cfg`: write it to HAProxy's host (`local_file`, cloud-init, a container's file), and reload HAProxy."
  value       = local.config
}

output "backends" {
  description = "The names of the backends, for sections of your own that lead to them."
  value       = sort(keys(local.backends))
}
