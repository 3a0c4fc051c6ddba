return { factor = 10 }
