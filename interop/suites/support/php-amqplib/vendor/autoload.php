<?php
// The client is Debian's; the tests come from the source tree.
require_once "PhpAmqpLib/autoload.php";

spl_autoload_register(function (string $class): void {
    $prefix = "PhpAmqpLib\\Tests\\";
    if (str_starts_with($class, $prefix)) {
        $path = str_replace("\\", "/", substr($class, strlen($prefix)));
        require __DIR__ . "/../tests/$path.php";
    }
});
