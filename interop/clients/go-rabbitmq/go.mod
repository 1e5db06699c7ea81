module interop

go 1.22

require github.com/wagslane/go-rabbitmq v0.15.0
