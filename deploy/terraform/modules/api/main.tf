# The service: replicas without state of their own on Fargate, behind a load balancer that only the gateway reaches.

locals {
  port = 8080

  # Until the load balancer looks away: two of its health checks.
  drain_seconds = 20

  secrets = merge({ DATA_HIST_SECRET = var.signing_secret_arn }, var.secret_arns)

  # Every name is a setting of api/settings.py (tests/project/test_deploy_names.py).
  environment = merge(
    {
      AWS_REGION                             = var.region
      TMPDIR                                 = "/data" # the only folder that can be written to
      DATA_HIST_ENGINE                       = "athena"
      DATA_HIST_DATA_DIR                     = "/data"
      DATA_HIST_LAKE_BUCKET                  = var.lake_bucket.name
      DATA_HIST_STORE                        = "dynamodb"
      DATA_HIST_LEDGER                       = "dynamodb"
      DATA_HIST_OUTPUT_LOCATION              = var.output_locations.tenants
      DATA_HIST_OUTPUT_LOCATION_OPERATOR     = var.output_locations.operators
      DATA_HIST_ATHENA_WORK_GROUP            = var.work_groups[var.work_group_of.tenants].name
      DATA_HIST_ATHENA_WORK_GROUP_OPERATOR   = var.work_groups[var.work_group_of.operators].name
      DATA_HIST_MAX_CONCURRENT_QUERIES       = tostring(var.maximum_concurrent_queries)
      DATA_HIST_MAX_CONCURRENT_QUERIES_TOTAL = tostring(var.maximum_concurrent_queries_in_all)
      DATA_HIST_MAX_BYTES_SCANNED            = tostring(var.maximum_scanned_bytes)
      DATA_HIST_JWT_ISSUER                   = var.tokens.issuer
      DATA_HIST_JWT_AUDIENCE                 = join(",", var.tokens.audiences)
      DATA_HIST_WATCH                        = "off"
      DATA_HIST_DRAIN_SECONDS                = tostring(local.drain_seconds)
      DATA_HIST_SHUTDOWN_SECONDS             = tostring(var.shutdown_seconds)
      DATA_HIST_LOG_LEVEL                    = var.log_level
    },
    { for table in values(var.tables) : table.setting => table.name },
    var.environment,
  )
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_cloudwatch_log_group" "service" {
  name              = "/data-hist/${var.name}/service"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ecs_task_definition" "service" {
  family                   = "${var.name}-service"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu_units
  memory                   = var.memory_megabytes
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.service.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  ephemeral_storage {
    size_in_gib = var.spool_gibibytes
  }

  volume {
    name = "data"
  }

  container_definitions = jsonencode([
    {
      name                   = "service"
      image                  = var.image
      essential              = true
      user                   = "10001:10001"
      readonlyRootFilesystem = true
      stopTimeout            = min(120, local.drain_seconds + var.shutdown_seconds + 15)
      portMappings           = [{ containerPort = local.port, protocol = "tcp" }]
      environment            = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
      secrets                = [for name in sort(keys(local.secrets)) : { name = name, valueFrom = local.secrets[name] }]
      linuxParameters        = { initProcessEnabled = true }
      ulimits                = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]

      mountPoints = [
        { sourceVolume = "data", containerPath = "/data" },
      ]

      healthCheck = {
        command     = ["CMD", "python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health/live', timeout=2)"]
        interval    = 10
        timeout     = 5
        retries     = 3
        startPeriod = 30
      }

      logConfiguration = {
        logDriver = "awslogs"

        options = {
          awslogs-group         = aws_cloudwatch_log_group.service.name
          awslogs-region        = var.region
          awslogs-stream-prefix = "service"
        }
      }
    },
  ])
}

resource "aws_ecs_service" "this" {
  name                              = "${var.name}-service"
  cluster                           = aws_ecs_cluster.this.arn
  task_definition                   = aws_ecs_task_definition.service.arn
  desired_count                     = var.is_running ? var.minimum_replicas : 0
  launch_type                       = "FARGATE"
  health_check_grace_period_seconds = 60
  enable_execute_command            = false
  propagate_tags                    = "SERVICE"
  availability_zone_rebalancing     = "ENABLED"

  # A new replica is ready before an old one goes.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.service.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.service.arn
    container_name   = "service"
    container_port   = local.port
  }

  lifecycle {
    ignore_changes = [desired_count]
  }

  depends_on = [aws_lb_listener.https, aws_iam_role_policy.service]
}

resource "aws_appautoscaling_target" "service" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.this.name}"
  min_capacity       = var.is_running ? var.minimum_replicas : 0
  max_capacity       = var.is_running ? var.maximum_replicas : 0
}

resource "aws_appautoscaling_policy" "cpu" {
  count              = var.is_running ? 1 : 0
  name               = "${var.name}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.service.service_namespace
  scalable_dimension = aws_appautoscaling_target.service.scalable_dimension
  resource_id        = aws_appautoscaling_target.service.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.target_cpu_percent
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

resource "aws_appautoscaling_policy" "requests" {
  count              = var.is_running ? 1 : 0
  name               = "${var.name}-requests"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.service.service_namespace
  scalable_dimension = aws_appautoscaling_target.service.scalable_dimension
  resource_id        = aws_appautoscaling_target.service.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.target_requests_per_minute
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    predefined_metric_specification {
      predefined_metric_type = "ALBRequestCountPerTarget"
      resource_label         = "${aws_lb.this.arn_suffix}/${aws_lb_target_group.service.arn_suffix}"
    }
  }
}

resource "aws_security_group" "gateway" {
  name        = "${var.name}-gateway"
  description = "The gateway's VPC link: reaches the load balancer and nothing else."
  vpc_id      = var.vpc_id
}

resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-load-balancer"
  description = "The load balancer: hears the gateway, reaches the service."
  vpc_id      = var.vpc_id
}

resource "aws_security_group" "service" {
  name        = "${var.name}-service"
  description = "The service: hears the load balancer, reaches AWS."
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "gateway_to_load_balancer" {
  security_group_id            = aws_security_group.gateway.id
  referenced_security_group_id = aws_security_group.load_balancer.id
  description                  = "HTTPS to the load balancer"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer_from_gateway" {
  security_group_id            = aws_security_group.load_balancer.id
  referenced_security_group_id = aws_security_group.gateway.id
  description                  = "HTTPS from the gateway"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer_from_inside" {
  for_each          = toset(var.internal_cidr_blocks)
  security_group_id = aws_security_group.load_balancer.id
  cidr_ipv4         = each.value
  description       = "HTTPS from inside: downloads beyond the gateway's 10 MB, Prometheus"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "load_balancer_to_service" {
  security_group_id            = aws_security_group.load_balancer.id
  referenced_security_group_id = aws_security_group.service.id
  description                  = "HTTP to the replicas"
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_ingress_rule" "service_from_load_balancer" {
  security_group_id            = aws_security_group.service.id
  referenced_security_group_id = aws_security_group.load_balancer.id
  description                  = "HTTP from the load balancer"
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_egress_rule" "service_to_aws" {
  security_group_id = aws_security_group.service.id
  cidr_ipv4         = "0.0.0.0/0"
  description       = "HTTPS to AWS and to the identity provider's keys"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_lb" "this" {
  name                       = var.name
  internal                   = true
  load_balancer_type         = "application"
  subnets                    = var.private_subnet_ids
  security_groups            = [aws_security_group.load_balancer.id]
  idle_timeout               = 75
  drop_invalid_header_fields = true
  desync_mitigation_mode     = "strictest"

  access_logs {
    bucket  = var.logs_bucket.name
    prefix  = "load-balancer"
    enabled = true
  }
}

resource "aws_lb_target_group" "service" {
  name                          = var.name
  port                          = local.port
  protocol                      = "HTTP"
  target_type                   = "ip"
  vpc_id                        = var.vpc_id
  deregistration_delay          = local.drain_seconds
  load_balancing_algorithm_type = "least_outstanding_requests"

  health_check {
    path                = "/health/ready"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.service.arn
  }
}
