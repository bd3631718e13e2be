# Run by the service s3-setup of docker-compose.yml: the bucket, and a key that may use it and nothing else.
set -eu
mc alias set store "$S3_ADDRESS" "$S3_ROOT_USER" "$S3_ROOT_PASSWORD"
mc mb --ignore-existing store/clips
mc admin policy create store clips /policy.json
mc admin user add store "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY"
# It fails where the user has it already.
mc admin policy attach store clips --user "$AWS_ACCESS_KEY_ID" ||
    mc admin policy entities store --user "$AWS_ACCESS_KEY_ID" | grep -q clips
