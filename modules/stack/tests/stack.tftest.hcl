mock_provider "routingmesh" {}

variables {
  cluster_id = "demo"
  project    = "shop"
  env        = { TAG = "1.27" }
  file       = <<-EOT
    services:
      web:
        image: nginx:$${TAG}
        ports: ["8080:80"]
        networks: [front]
        deploy: {replicas: 3}
      db:
        image: postgres
        networks: {front: {aliases: [store]}}
        volumes: ["data:/var/lib/postgresql/data"]
    networks: {front: {}}
    volumes: {data: {}}
  EOT
}

run "stack" {
  command = plan
  assert {
    condition     = routingmesh_service.this["web"].name == "shop-web" && routingmesh_service.this["web"].replicas == 3 && routingmesh_service.this["web"].task.image == "nginx:1.27"
    error_message = "A service has the project's name before its own, its replicas, and the variables' values."
  }
  assert {
    condition     = routingmesh_service.this["db"].networks["shop-front"].aliases == toset(["db", "store"]) && routingmesh_service.this["db"].task.mounts[0].source == "shop_data"
    error_message = "A service is in its networks by its name in the file, and has its volumes."
  }
  assert {
    condition     = routingmesh_published_port.this["web/8080/tcp"].published_port == 8080 && routingmesh_published_port.this["web/8080/tcp"].target_port == 80
    error_message = "The file's ports are published."
  }
}

run "unsupported" {
  command = plan
  variables {
    file = "services: {web: {image: nginx, privileged: true}}"
  }
  expect_failures = [routingmesh_service.this["web"]]
}

run "accepted" {
  command = plan
  variables {
    file               = "services: {web: {image: nginx, privileged: true}}"
    accept_unsupported = true
  }
  assert {
    condition     = output.unsupported == tolist(["services.web.privileged"])
    error_message = "What is left out is told."
  }
}
