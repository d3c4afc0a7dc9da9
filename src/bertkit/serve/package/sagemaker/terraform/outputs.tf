output "endpoint_name" {
  description = "The name for invoke-endpoint."
  value       = aws_sagemaker_endpoint.this.name
}
