module aplomb

go 1.26
