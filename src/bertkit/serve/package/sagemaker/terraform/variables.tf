variable "name" {
  description = "Name of the endpoint."
  type        = string
  default     = "{{endpoint}}"
}

variable "image" {
  description = "The image in ECR, with its tag or digest."
  type        = string
}

variable "model_data_url" {
  description = "The address of model.tar.gz in S3."
  type        = string

  validation {
    condition     = startswith(var.model_data_url, "s3://")
    error_message = "The model must be in S3: s3://BUCKET/model.tar.gz."
  }
}

variable "execution_role_arn" {
  description = "The role of SageMaker, which may read the image and the model."
  type        = string
}

variable "environment" {
  description = "Settings of the server, such as BERTKIT_MAX_BATCH_TOKENS."
  type        = map(string)
  default     = {}
}

variable "instance_type" {
  description = "The type of the instances."
  type        = string
  default     = "ml.c6i.large"
}

variable "min_instances" {
  description = "The fewest instances."
  type        = number
  default     = 1
}

variable "max_instances" {
  description = "The most instances."
  type        = number
  default     = 4

  validation {
    condition     = var.max_instances >= 1
    error_message = "There must be at least one instance."
  }
}

variable "requests_per_instance" {
  description = "Requests per minute that one instance should answer. Measure how many it can, and take about 0.7 of it."
  type        = number
  default     = 600
}
