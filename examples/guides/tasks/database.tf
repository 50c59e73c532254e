# One task with a volume, on a node with a fast disk. An update stops it before it starts the new one.
resource "routingmesh_service" "db" {
  cluster_id = routingmesh_cluster.main.id
  name       = "db"
  task = {
    image = "docker.io/library/postgres:17"
    env   = { POSTGRES_PASSWORD_FILE = "/run/secrets/pg" }
    mounts = [
      { type = "bind", source = "/etc/pg/secret", target = "/run/secrets/pg", read_only = true },
      { type = "volume", source = "pg", target = "/var/lib/postgresql/data" },
    ]
    limits            = { cpus = "2", memory = "1GiB" }
    stop_grace_period = "30s"
    health_check      = { test = ["CMD", "pg_isready"], interval = "5s" }
  }
  placement  = { constraints = ["node.labels.disk==ssd"] }
  depends_on = [routingmesh_node.this]
}
