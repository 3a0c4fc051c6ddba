error("this module does not load")
